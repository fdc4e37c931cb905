"""The retrieval demo: encoder, searcher, explainer, and the page."""
