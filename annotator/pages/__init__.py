"""Server-rendered pages: parse, call a service or selector, render a template."""
