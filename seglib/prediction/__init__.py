"""Networks and images -> probability maps -> masks, with how sure they are."""
