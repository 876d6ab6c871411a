"""How good are the answers? Metrics, annotations, published numbers and reports; nothing here decodes or loads a model."""
