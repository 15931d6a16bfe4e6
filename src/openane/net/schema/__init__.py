"""How units are spelled in a net.plist: typed fields, weight files, and one declaration per parameter.

What Apple's files show (formats.md section 10) is read and written in their words: Conv, GOC, Neuron, Concat,
ScaledElementWise, Broadcast, Reshape, InputView, and the keys in them. Everything else is openane's own spelling: the
unit types Linear, MatMul, Reduction, Pooling, Softmax, LayerNorm, Pad, Tile, Transpose, Select and Constant, the keys
NumGroups, Dilation, OutputPadding and Conv's Type "Deconv", scales in BiasScaleGroupData, and Alpha and Beta of Neuron.
"""
