"""Masks or maps against references -> scores, their means with intervals, and what failures share."""
