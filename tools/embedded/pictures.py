"""What the embedded backbone is trained on: free photographs, and textures and paintings made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import cKDTree

Picture = npt.NDArray[np.float32]
"""(H, W, 3), 0..1."""
Random = np.random.Generator

# Of scikit-image's bundled pictures, those that its documentation says are CC0 or in the public domain.
PHOTOGRAPHS = [
    "astronaut.png",
    "camera.png",
    "brick.png",
    "grass.png",
    "gravel.png",
    "chelsea.png",
    "coffee.png",
    "retina.jpg",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "cell.png",
    "text.png",
]


def photographs() -> list[Picture]:
    """The free photographs that scikit-image and Matplotlib carry, longer side at most 640."""
    import matplotlib
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    paths = [folder / name for name in PHOTOGRAPHS]
    # A portrait by the US Navy, in the public domain.
    paths.append(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    found = []
    for path in paths:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        scale = min(1.0, 640 / max(image.size))
        image = image.resize((round(image.width * scale), round(image.height * scale)))
        found.append(np.asarray(image, np.float32) / np.float32(255))
    return found


def spectrum(random: Random, size: int) -> Picture:
    """Noise with a power law spectrum, oriented or not, its channels correlated at random."""
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    angle, stretch = random.uniform(0, np.pi), random.choice([1, 1, 2, 4, 8])
    u, v = fx * np.cos(angle) + fy * np.sin(angle), -fx * np.sin(angle) + fy * np.cos(angle)
    radius = np.hypot(u, v * stretch) + 1 / size
    amplitude = radius ** -random.uniform(0.3, 1.8)
    planes = []
    for _ in range(3):
        noise = random.normal(size=amplitude.shape) + 1j * random.normal(size=amplitude.shape)
        plane = np.fft.irfft2(noise * amplitude, (size, size))
        planes.append(plane / plane.std())
    return _coloured(random, np.stack(planes, -1))


def leaves(random: Random, size: int) -> Picture:
    """Dead leaves: discs and polygons over one another, sizes by a power law."""
    image = Image.new("RGB", (size, size), _colour(random))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(150, 900))):
        x, y = random.uniform(0, size, 2)
        radius = min(size / 3, 2.0 * random.uniform(0.001, 1) ** (-1 / 1.7))
        if random.random() < 0.6:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(random))
        else:
            turn, corners = random.uniform(0, 6.3), int(random.integers(3, 6))
            angles = turn + np.linspace(0, 2 * np.pi, corners, endpoint=False)
            points = [(x + radius * float(np.cos(a)), y + radius * float(np.sin(a))) for a in angles]
            draw.polygon(points, fill=_colour(random))
    return _grained(random, np.asarray(image, np.float32) / np.float32(255))


def stripes(random: Random, size: int) -> Picture:
    """Sums of waves and hard-edged stripes, checks and dots."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    planes = np.zeros((size, size, 3), np.float32)
    for _ in range(int(random.integers(1, 5))):
        angle, period = random.uniform(0, np.pi), float(random.choice([3, 4, 6, 9, 14, 22, 40]))
        wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period + random.uniform(0, 6))
        if random.random() < 0.4:
            other = np.sin(2 * np.pi * (-x * np.sin(angle) + y * np.cos(angle)) / period)
            wave = wave * other
        if random.random() < 0.5:
            wave = np.sign(wave)
        planes += wave[..., None] * random.normal(size=3).astype(np.float32)
    return _coloured(random, planes)


def cells(random: Random, size: int) -> Picture:
    """Voronoi cells of random colours, shaded towards their edges."""
    count = int(random.integers(20, 300))
    points = random.uniform(0, size, (count, 2))
    rows, columns = np.mgrid[:size, :size]
    grid = np.column_stack((rows.ravel(), columns.ravel()))
    found = cKDTree(points).query(grid, 2)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    edge = np.clip((distance[:, 1] - distance[:, 0]) / 4, 0, 1) ** random.uniform(0.2, 2)
    palette = random.uniform(0, 1, (count, 3))
    image = palette[nearest[:, 0]] * (1 - random.uniform(0, 1) * (1 - edge[:, None]))
    return _grained(random, image.reshape(size, size, 3).astype(np.float32))


def painted(random: Random, image: Picture) -> Picture:
    """A picture repainted in oriented brush strokes, coarse to fine, each of several bristles."""
    height, width = image.shape[:2]
    grey = ndimage.gaussian_filter(image.mean(2), 3)
    direction = np.arctan2(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1)) + np.pi / 2
    direction = direction + random.normal(0, 0.2)
    canvas = Image.fromarray((ndimage.gaussian_filter(image, (8, 8, 0)) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    broad = float(random.choice([6, 9, 13]))
    for brush in (broad, broad / 2, broad / 4):
        smooth = ndimage.gaussian_filter(image, (brush / 2, brush / 2, 0))
        length = brush * random.uniform(2, 5)
        jitter = random.uniform(0.02, 0.08)
        for _ in range(int(1.6 * height * width / (brush * length))):
            x, y = random.uniform(0, width), random.uniform(0, height)
            row, column = int(y), int(x)
            colour = smooth[row, column] + random.normal(0, jitter, 3)
            angle = float(direction[row, column] + random.normal(0, 0.15))
            cos, sin = np.cos(angle), np.sin(angle)
            bristles = max(2, int(brush))
            for bristle in range(bristles):
                aside = (bristle / bristles - 0.5) * brush
                start, end = -length / 2 * random.uniform(0.7, 1), length / 2 * random.uniform(0.7, 1)
                tone = np.clip((colour + random.normal(0, 0.035)) * 255, 0, 255).astype(int)
                draw.line(
                    (
                        x + cos * start - sin * aside,
                        y + sin * start + cos * aside,
                        x + cos * end - sin * aside,
                        y + sin * end + cos * aside,
                    ),
                    fill=(int(tone[0]), int(tone[1]), int(tone[2])),
                    width=max(1, round(1.5 * brush / bristles)),
                )
    return np.asarray(canvas, np.float32) / np.float32(255)


def landscape(random: Random, size: int) -> Picture:
    """Sky, hills and ground in bands of noise: something to paint."""
    sky, ground = random.uniform(0.4, 1, 3), random.uniform(0.1, 0.7, 3)
    rows = np.linspace(0, 1, size)[:, None, None]
    image = np.broadcast_to(sky * (1 - 0.3 * rows), (size, size, 3)).copy()
    image += 0.25 * (spectrum(random, size) - 0.5) * (rows < 0.5)
    for i in range(int(random.integers(2, 5))):
        line = 0.35 + 0.15 * i + 0.08 * ndimage.gaussian_filter1d(random.normal(size=size), 20) * 6
        tone = ground * random.uniform(0.5, 1.3) + random.normal(0, 0.05, 3)
        texture = 0.6 + 0.8 * spectrum(random, size)
        below = (rows[..., 0] > line[None])[..., None]
        image = np.where(below, tone * texture, image)
    return np.asarray(image.clip(0, 1), np.float32)


def corpus(random: Random) -> list[Picture]:
    """All pictures to cut crops from: photographs, their painted versions, landscapes, and textures."""
    found = photographs()
    makers: tuple[Callable[[Random, int], Picture], ...] = (spectrum, leaves, stripes, cells)
    found += [painted(random, picture) for picture in found for _ in range(2)]
    found += [painted(random, landscape(random, 320)) for _ in range(16)]
    found += [maker(random, 256) for maker in makers for _ in range(10)]
    return found


def crop(random: Random, picture: Picture, size: int) -> Picture:
    """A random crop (size, size, 3): scaled, flipped, recoloured, blurred or made noisy, moderately."""
    scale = float(np.exp(random.uniform(np.log(0.5), np.log(1.6))))
    side = min(round(size / scale), *picture.shape[:2])
    top = int(random.integers(0, picture.shape[0] - side + 1))
    left = int(random.integers(0, picture.shape[1] - side + 1))
    cut = Image.fromarray((picture[top : top + side, left : left + side] * 255).astype(np.uint8))
    image = np.asarray(cut.resize((size, size)), np.float32) / 255
    if random.random() < 0.5:
        image = image[:, ::-1]
    if random.random() < 0.3:
        image = np.rot90(image, int(random.integers(1, 4)))
    if random.random() < 0.6:
        mean = image.mean((0, 1), keepdims=True)
        image = mean + (image - mean) * random.uniform(0.5, 1.5) + random.normal(0, 0.1, 3)
    if random.random() < 0.4:
        image = image[..., random.permutation(3)]
    if random.random() < 0.2:
        image = ndimage.gaussian_filter(image, (*[random.uniform(0.4, 1.5)] * 2, 0))
    if random.random() < 0.2:
        image = image + random.normal(0, random.uniform(0.01, 0.08), image.shape)
    return np.ascontiguousarray(image.clip(0, 1), np.float32)


def _coloured(random: Random, planes: npt.NDArray[np.floating]) -> Picture:
    mix = np.eye(3) * random.uniform(0.2, 1) + random.uniform(0, 1) + random.normal(0, 0.3, (3, 3))
    image = planes @ mix
    image = image / (image.std() + 1e-6) * random.uniform(0.05, 0.25) + random.uniform(0.2, 0.8, 3)
    return np.asarray(image.clip(0, 1), np.float32)


def _grained(random: Random, image: Picture) -> Picture:
    grain = random.normal(0, random.uniform(0, 0.06), image.shape[:2])[..., None]
    return np.asarray((image + grain).clip(0, 1), np.float32)


def _colour(random: Random) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in random.integers(0, 256, 3))
    return red, green, blue
