"""From a trained Keras network to one int8 bundle that a device can trust."""
