"""XLA flags for tests, whose time is mostly compilation. Imports no jax: they must stand before it."""

import importlib.metadata

# Convolutions and products are precompiled kernels; what is compiled here need not be fast.
# In one piece, since two processes have two cores: in pieces it takes a quarter more of them.
QUICK = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
# Sums as products with ones are many: each in a short loop is a sixth of a train step's compilation.
QUICK += " --xla_backend_extra_options=xla_llvm_dot_tiling_factor=1"
if importlib.metadata.version("jaxlib").startswith("0.10."):
    # The emitters of fused loops take half of the compilation. Later jaxlibs know no other.
    QUICK += " --xla_cpu_use_fusion_emitters=false"
