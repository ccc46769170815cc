"""Weight initializers."""

import flax.linen as nn

# He et al., "Delving Deep into Rectifiers", ICCV 2015. Preserves the scale of activations.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")

# The fan-out variant preserves the scale of gradients instead.
he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# Of transformers and ConvNeXt.
small_normal = nn.initializers.truncated_normal(0.02)
