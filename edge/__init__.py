"""The runtime on the device: frames in, a differential count out. Never TensorFlow, never Keras."""

__version__ = "0.1.0"
