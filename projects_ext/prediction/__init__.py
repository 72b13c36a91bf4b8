"""Prediction with trained models. The class for it is :class:`projects_ext.Predictor`."""
