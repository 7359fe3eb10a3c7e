"""HTTP interface: routes, uploads, responses, API keys, errors, OpenAPI."""
