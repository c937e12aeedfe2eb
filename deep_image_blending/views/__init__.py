"""What people look at: contact sheets, preview, report, video, curves, ablation."""
