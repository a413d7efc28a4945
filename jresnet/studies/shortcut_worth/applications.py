"""All applications of the study. Another one is one more entry.

Lengths are chosen to fit an hour on two idle CPU cores, by estimate: see docs/results.md.
"""

from jresnet.studies.shortcut_worth import dense, others, pictures
from jresnet.studies.shortcut_worth.application import Application

CLASSIFICATION = Application(
    "classification", "Handwritten digits (scikit-learn)", pictures.classify,
    "error", "test error (%)", (3, 9), 240, 240,
    "python -m experiments.degradation",
    "CIFAR-10, ResNet-20 8.75 % and ResNet-56 6.97 % test error (arXiv:1512.03385, table 6): other "
    "pictures, and 64,000 steps",
    scale=100, lower=True, tested=297,
    arguments=(("dataset", "digits"),), nets=(r"ResNet-\d+", r"plain-\d+"),
)  # fmt: skip
TRANSFER = Application(
    "transfer", "Cats and dogs by a net of CIFAR-10, fine-tuned", pictures.transfer,
    "error", "test error (%)", (1, 3), 150, 300,
    "python -m experiments.finetune --weights cifar_resnet20_state.npz --depth 20 --steps 300 "
    "--dataset cats_dogs",
    "Oxford-IIIT Pet, ResNet-152x4 of BiT-L: accuracy 96.6 % (arXiv:1912.11370, table 1): 37 breeds, a net "
    "trained on 300 million pictures",
    scale=100, lower=True, tested=279, data=("cifar10_jpeg", "cats_dogs"), sources=pictures.sources,
    note=f"from {pictures.SOURCE_STEPS} steps of CIFAR-10 by the same net",
    arguments=(("dataset", "cats"),), nets=("finetune-all", "nothing"),
)  # fmt: skip
DISEASE = Application(
    "disease", "Pneumonia in chest X-rays of 28 x 28", pictures.diagnose,
    "error", "test error (%)", (1, 3), 200, 400,
    "python -m experiments.finetune --dataset pneumonia_balanced_28.npz --methods scratch "
    "plain",
    "PneumoniaMNIST, ResNet-18 at 28 x 28: accuracy 85.4 %, ROC area 0.944 (arXiv:2110.14795, "
    "table 3): another split, balanced here",
    scale=100, lower=True, tested=468, data=(pictures.XRAYS,),
    arguments=(("dataset", "pneumonia"),), nets=("scratch-all", "plain-all"),
)  # fmt: skip
SEGMENTATION = Application(
    "segmentation", "Road scenes (CamVid), U-Net", dense.segment,
    "mean_iou", "mean IoU (%)", (2, 6), 120, 1000,
    "python -m experiments.segment --dataset camvid --classes sky building pole road pavement tree "
    "sign fence car pedestrian bicyclist --ignored 11 255 --class-weights 0",
    "CamVid at 360 x 480, ENet 51.3 % (arXiv:1606.02147): pictures twice as large",
    scale=100, data=("camvid",), arguments=(("dataset", "camvid"),),
)  # fmt: skip
VOLUMES = Application(
    "volumes", "Grey and white matter (MNI152), 3-D U-Net", dense.segment_volume,
    "mean_dice", "mean Dice (%)", (1, 3), 120, 500,
    "python -m experiments.volumes",
    "ACDC, nnU-Net ResEnc M: Dice 91.99 % (arXiv:2404.09556, table 1): hearts of 150 patients, "
    "where the head here is one average",
    scale=100, library=("nilearn", "medical"), arguments=(("dataset", "None"),),
)  # fmt: skip
DETECTION = Application(
    "detection", "Blood cells (BCCD), Faster R-CNN", dense.detect,
    "ap50", "AP50 (%)", (1, 4), 90, 400,
    "python -m experiments.detect --dataset bccd",
    "COCO, Faster R-CNN R50-FPN: AP 37.9 % (detectron2's model zoo, 1x): 80 classes, a backbone "
    "trained on ImageNet",
    scale=100, data=("bccd",),
    arguments=(("dataset", "bccd"), ("kind", "boxes")),
)  # fmt: skip
MASKS = Application(
    "masks", "Cell nuclei, Mask R-CNN", dense.detect_masks,
    "mask/ap50", "AP50 of masks (%)", (1, 4), 90, 400,
    "python -m experiments.detect --dataset nuclei --kind masks",
    "COCO, Mask R-CNN R50-FPN: mask AP 35.2 % (detectron2's model zoo, 1x): 80 classes, a backbone "
    "trained on ImageNet",
    scale=100, data=("nuclei",),
    arguments=(("dataset", "nuclei"), ("kind", "masks")),
)  # fmt: skip
KEYPOINTS = Application(
    "keypoints", "Extreme points of cell nuclei, Keypoint R-CNN", dense.detect_points,
    "keypoint/ap50", "AP50 of keypoints (%)", (1, 4), 90, 400,
    "python -m experiments.detect --dataset nuclei --kind keypoints --extreme-points",
    "COCO, Keypoint R-CNN R50-FPN: keypoint AP 64.0 % (detectron2's model zoo, 1x): people of 17 "
    "points, a backbone trained on ImageNet",
    scale=100, data=("nuclei",),
    arguments=(("dataset", "nuclei"), ("kind", "keypoints")),
)  # fmt: skip
FACES = Application(
    "faces", "Strangers told apart (ORL), IResNet", others.recognise,
    "accuracy", "accuracy of pairs (%)", (1, 4), 250, 600,
    "python -m experiments.recognize --dataset orl_faces --pairs orl_faces/pairs.csv",
    "LFW, IResNet-50 by CASIA-WebFace 99.53 % (arXiv:1801.07698): 10,572 people to learn from, "
    "where ORL has 30",
    scale=100, tested=900, data=("orl_faces",), arguments=(("dataset", "orl_faces"),),
)  # fmt: skip
UPSCALING = Application(
    "upscaling", "Pictures twice as large (T91, Set5), SRResNet", others.upscale,
    "psnr_y", "PSNR on Y (dB)", (4, 16), 100, 1500,
    "python -m experiments.upscale --dataset sr --scale 2",
    "Set5 at x2, EDSR 38.11 dB (arXiv:1707.02921, table 2): 43 million parameters, 800 large "
    "pictures",
    data=("sr",), arguments=(("dataset", "sr"), ("scale", "2")),
)  # fmt: skip
STYLE = Application(
    "style", "A photograph in the style of a woodcut", pictures.stylise,
    "judged_style", "style loss left", (1, 3), 80, 150,
    "python -m experiments.style_features --styles great_wave.jpg --weights runs/depth20/ResNet-20-seed0 "
    "--twin runs/depth20/plain-20-seed0",
    "pictures and a user study alone: residual features are poor for style (arXiv:2104.05623)",
    lower=True, data=("cifar10_jpeg", pictures.WAVE), sources=pictures.sources,
    note="by the features of a plain net of 8 layers with random weights, which is not minimised; "
    "1 is that of the photograph",
    nets=("plain", "plain-net|no-shortcuts"),
)  # fmt: skip
VIDEO = Application(
    "video", "Moving digits, 3-D net", others.classify_clips,
    "error", "test error (%)", (1, 3), 400, 1500,
    "python -m experiments.video",
    "Kinetics-400, R3D-18 52.5 % of clips (arXiv:1711.11248, table 2): 240,000 films of people",
    scale=100, lower=True, tested=2376,
    arguments=(("dataset", "None"),), nets=(r"3-D[^,]*", r"plain 3-D.*"),
)  # fmt: skip
GAMES = Application(
    "games", "Breakout of MinAtar, PPO", others.play,
    "sampled_return", "mean return", (1, 16), 16_384, 32_768,
    "python -m experiments.deep_agents",
    "none at so few frames; IMPALA's residual encoder is above a shallow one on 30 rooms "
    "(arXiv:1802.01561, figure 5)",
    counted="frames", library=("gymnax", "games"),
    note="blocks of one stage",
    arguments=(("game", "breakout"), ("agent", "ppo")), others=("experiments.games",),
)  # fmt: skip

ALL = (
    CLASSIFICATION, TRANSFER, SEGMENTATION, VOLUMES, DETECTION, MASKS, KEYPOINTS, FACES, UPSCALING,
    STYLE, VIDEO, GAMES, DISEASE,
)  # fmt: skip
