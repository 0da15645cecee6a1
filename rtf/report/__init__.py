"""From runs to a report: read, settings, compare, scores, published, tables, charts, page."""
