"""`vidsearch eval`: what of an evaluation decodes clips and asks a model."""
