"""A run on its way to Kaggle: `bundle` writes what is sent (`wheels`, `kernels`), `client` sends and fetches it."""
