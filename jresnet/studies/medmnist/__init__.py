"""Disease classification by the protocol of MedMNIST."""
