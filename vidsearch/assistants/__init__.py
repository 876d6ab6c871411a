"""An index for assistants, over the Model Context Protocol."""
