"""HTML pages of reports: one style and one set of templates."""
