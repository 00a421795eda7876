"""One file from a run: an ONNX or OpenVINO graph that must give the run's own answers before it is written."""
