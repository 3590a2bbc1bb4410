"""Examples that the help of each command shows."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "inspect": (
        "siamese inspect market1501",
        "siamese inspect crops --output crops.png",
        r"siamese inspect shop --pattern '(?P<person>p\d+)/cam(?P<camera>\d+)'",
    ),
    "records make": (
        "siamese records make --dataset_dir market1501",
        "siamese records make --dataset_dir crops --validation_size 0.1 --on_corrupt skip",
        "siamese records make --dataset_dir market1501 shop --output_dir mixed",
        "siamese records make --dataset_dir s3://bucket/mars --output_dir s3://bucket/records",
    ),
    "records verify": ("siamese records verify market1501/records",),
    "train": (
        "siamese train --data crops",
        "siamese train --data crops --recipe osnet --epochs 20",
        "siamese train --data market1501 shop --records mixed --set batches.balance=source",
        "siamese train --data crops --recipe distill --teacher model.onnx",
        "siamese train --data crops --resume",
        "siamese train --data crops --recipe osnet --seeds 3",
    ),
    "verify": (
        "siamese verify a.jpg b.jpg",
        "siamese verify --pairs pairs.csv --output verdicts.csv",
        "siamese verify -i1 a.jpg -i2 b.jpg --model runs/osnet/model.keras --json",
        "siamese verify -i1 a.jpg -i2 b.jpg --profile profile.json --camera1 1 --camera2 2",
    ),
    "calibrate": (
        "siamese calibrate crops",
        "siamese calibrate crops --model theirs.onnx --image_size 256 128 --output theirs.json",
    ),
    "identities": (
        "siamese identities crops --sheet people.png",
        "siamese identities crops --profile profile.json --false_accept_rate 0.001",
    ),
    "explain": ("siamese explain a.jpg b.jpg --output matched.png",),
    "evaluate": (
        "siamese evaluate --data market1501 --flip",
        "siamese evaluate --data market1501 --rerank --output results/reranked",
        "siamese evaluate --data market1501 --model theirs.onnx --image_size 256 128",
        "siamese evaluate --data VIPeR --protocol small_set --flip --people 316:",
    ),
    "compare": ("siamese compare results/mine results/theirs",),
    "embed": ("siamese embed crops --output embeddings.parquet",),
    "find_similar": ("siamese find_similar a.jpg --embeddings embeddings.npz -k 5",),
    "export": (
        "siamese export --model runs/osnet/model.keras --format onnx",
        "siamese export --format litert --output model.tflite",
    ),
    "info": ("siamese info",),
    "use": ("siamese use runs/fine_tune", "siamese use pretrained"),
    "app": ("siamese app --gallery people", "siamese app --login me:secret --port 8000"),
    "serve": (
        "siamese serve --gallery people --port 8000",
        "siamese serve --host 0.0.0.0 --token secret",
    ),
    "draw": ("siamese draw drawn --people 200 --cameras 4 --frames 3",),
    "augment": ("siamese augment a.jpg b.jpg --recipe osnet", "siamese augment a.jpg --each"),
    "gallery add": ("siamese gallery add crops --gallery people",),
    "gallery search": (
        "siamese gallery search a.jpg --gallery people -k 20 --output ranks.png",
        "siamese gallery search --like 0007 --gallery people",
    ),
    "gallery merge": ("siamese gallery merge Ann --person 0007 0019 --gallery people",),
    "gallery remove": ("siamese gallery remove --person 0007 --gallery people",),
    "gallery info": ("siamese gallery info --gallery people",),
    "gallery export": ("siamese gallery export people.parquet --gallery people",),
    "gallery verify": ("siamese gallery verify --gallery people",),
    "gallery reembed": ("siamese gallery reembed --gallery people",),
    "gallery calibrate": ("siamese gallery calibrate --gallery people",),
    "gallery index": ("siamese gallery index --gallery people",),
}
