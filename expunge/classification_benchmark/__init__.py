"""SalUn and its rivals on a classifier, against Retrain."""
