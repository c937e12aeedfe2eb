"""Quality without ground truth, of finished pictures."""
