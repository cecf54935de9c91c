"""The networks, as somebody who does not use seglib builds them: float32 and the default memory format."""

from torch import nn

ENCODER = "tu-tf_efficientnet_lite2"  # of the preset best
WIDTHS = {"plain": 16, "full": 64}  # of plain U-Nets at full size: a quarter of the seed's, for CPUs, and the seed's


def make_network(name: str, *, pretrained: bool = False) -> nn.Module:
    """A plain U-Net by the names of ``WIDTHS``; or smp's U-Net, with a ResNet-34 or (``lite2``) EfficientNet-Lite2.

    The weights are random; those of the encoder of ``lite2`` can be ImageNet's, from the file of a package.
    """
    if name in WIDTHS:
        from seglib.models.networks import UNet

        return UNet(3, widths=tuple(WIDTHS[name] * 2**level for level in range(5)))
    import segmentation_models_pytorch as smp

    if name == "resnet34":
        return smp.Unet(name, encoder_weights=None, in_channels=3, classes=1)
    network = smp.Unet(ENCODER, encoder_weights=None, in_channels=3, classes=1)
    if pretrained:
        from seglib.models.weights import load_encoder_weights

        load_encoder_weights(network.encoder, "package", ENCODER)
    return network
