"""An SVM and a random forest: fitting, tuning, probabilities."""
