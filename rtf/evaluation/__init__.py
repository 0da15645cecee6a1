"""What the fingerprints are worth: probes, physical units, intervals, tables and figures."""
