"""The two networks, as somebody who does not use seglib builds them: float32 and the default memory format."""

from torch import nn

ENCODER = "tu-tf_efficientnet_lite2"  # of the preset best
WIDTHS = (16, 32, 64, 128, 256)  # of the plain U-Net: a quarter of the seed's


def make_network(name: str, *, pretrained: bool = False) -> nn.Module:
    """``plain``, the seed's U-Net; or ``lite2``, smp's U-Net with an EfficientNet-Lite2.

    The weights are random; those of the encoder can be ImageNet's, from the file of a package and not from a hub.
    """
    if name == "plain":
        from seglib.models import UNet

        return UNet(3, widths=WIDTHS)
    import segmentation_models_pytorch as smp

    network = smp.Unet(ENCODER, encoder_weights=None, in_channels=3, classes=1)
    if pretrained:
        from seglib.weights import load_encoder_weights

        load_encoder_weights(network.encoder, "package", ENCODER)
    return network
