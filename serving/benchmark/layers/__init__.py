"""Cost of each layer between the bare session and the HTTP client."""
