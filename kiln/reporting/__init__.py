"""The report, the model card and the page of a comparison."""
