"""The page's areas as HTML. Whatever comes from a person or from the data set is text: it passes through `escape`."""
