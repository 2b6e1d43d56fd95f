"""SalUn and its rivals for classifiers, where the exact answer can be computed: Retrain."""
