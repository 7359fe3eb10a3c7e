"""The page without a service: a static site in which a bundle answers in the browser."""
