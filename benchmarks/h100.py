"""Rates of one H100 SXM, and the shares of them that predictions assume.

Source: NVIDIA, "H100 Tensor Core GPU" data sheet (494.7 TFLOP/s in TF32 and 989.4 in
bfloat16 without sparsity, 3.35 TB/s).
"""

PRODUCTS = {"float32": 494.7e12, "bfloat16": 989.4e12}  # operations a second; f32: TF32
MEMORY = 3.35e12  # bytes a second

# Assumed.
SHARE_OF_PRODUCTS = 0.5
SHARE_OF_BANDWIDTH = 0.8  # of memory and links
LAUNCH = 5e-6  # seconds of a kernel beyond its work
WAIT = 10e-6  # seconds until the host knows whether a loop goes on, or which branch
