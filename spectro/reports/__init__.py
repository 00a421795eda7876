"""Reports: results as one HTML page, as tables for papers, and as a model card."""
