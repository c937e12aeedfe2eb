"""The studio: a page in the browser, its server, and the one engine that blends for it."""
