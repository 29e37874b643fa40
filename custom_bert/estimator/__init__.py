"""The scikit-learn estimator: a model that lives in memory, trained and used through fit and predict."""
