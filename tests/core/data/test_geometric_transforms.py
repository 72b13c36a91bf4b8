"""Rotation, extent and crops around objects; figures are upstream's (with OpenCV 5.0)."""

import numpy as np
import pytest

from detectron2.data import transforms as T
from detectron2.data.transforms.transform import RotationTransform
from tests.procedural import procedural_image

HEIGHT, WIDTH = 37, 61
POINTS = np.array([[0.0, 0.0], [5.0, 7.0], [WIDTH, HEIGHT]])


@pytest.fixture(scope="module")
def image():
    return procedural_image("rot", HEIGHT, WIDTH)


class TestRotation:
    def test_quarter_turns_move_pixels(self, image):
        wide = RotationTransform(HEIGHT, WIDTH, 90)
        np.testing.assert_array_equal(wide.apply_image(image), np.rot90(image))
        back = RotationTransform(HEIGHT, WIDTH, -90).apply_segmentation(image[..., 0])
        np.testing.assert_array_equal(back, np.rot90(image[..., 0], -1))
        half = RotationTransform(HEIGHT, WIDTH, 180, expand=False)
        np.testing.assert_array_equal(half.apply_image(image), image[::-1, ::-1])
        moved = half.apply_coords(POINTS)
        np.testing.assert_allclose(moved, [WIDTH, HEIGHT] - POINTS, atol=1e-9)
        assert RotationTransform(HEIGHT, WIDTH, 360).apply_image(image) is image

    @pytest.mark.parametrize(
        ("interp", "pixel", "total"),
        [(None, [90, 16, 238], 701724), (2, [89, 16, 237], 705310), (0, [93, 26, 229], 702122)],
    )
    def test_pixels(self, image, interp, pixel, total):
        rotated = RotationTransform(HEIGHT, WIDTH, 30, interp=interp).apply_image(image)
        assert rotated.shape == (63, 71, 3)
        assert rotated.dtype == np.uint8
        np.testing.assert_allclose(rotated[30, 20], pixel, atol=1)
        assert abs(int(rotated.sum()) - total) < 300
        assert rotated[0, 0].tolist() == [0, 0, 0]

    def test_coordinates_and_size_around_a_center(self, image):
        turn = RotationTransform(HEIGHT, WIDTH, 30, expand=False, center=(20, 11))
        assert turn.apply_image(image).shape == image.shape
        np.testing.assert_allclose(turn.apply_coords(np.array([[20.0, 11.0]])), [[20, 11]])
        expected = [[-2.8205, 11.4737], [5.0096, 15.0359], [68.507, 13.0167]]
        np.testing.assert_allclose(turn.apply_coords(POINTS), expected, atol=1e-4)
        box = turn.apply_box(np.array([[10.0, 5.0, 20.0, 11.0]]))
        np.testing.assert_allclose(box, [[8.3397, 5.8038, 20.0, 16.0]], atol=1e-4)

    def test_the_inverse(self, image):
        turn = RotationTransform(HEIGHT, WIDTH, 65)
        there = turn.apply_coords(POINTS)
        np.testing.assert_allclose(turn.inverse().apply_coords(there), POINTS, atol=0.6)
        quarter = RotationTransform(HEIGHT, WIDTH, 90)
        turned = quarter.apply_image(image)
        np.testing.assert_array_equal(quarter.inverse().apply_image(turned), image)
        with pytest.raises(NotImplementedError):
            RotationTransform(HEIGHT, WIDTH, 30, expand=False).inverse()

    @pytest.mark.core_only("OpenCV drops the channel, and has no int64")
    def test_forms_that_opencv_lacks(self, image):
        turn = RotationTransform(HEIGHT, WIDTH, 30)
        assert turn.apply_image(image[..., :1]).shape == (63, 71, 1)
        labels = image[..., 0].astype(np.int64) * 1000
        expected = turn.apply_segmentation(image[..., 0]).astype(np.int64) * 1000
        np.testing.assert_array_equal(turn.apply_segmentation(labels), expected)
        with pytest.raises(ValueError, match="interp is 0"):
            RotationTransform(HEIGHT, WIDTH, 30, interp=7).apply_image(image)


class TestRandomRotation:
    def matrices(self, image, **options):
        np.random.seed(0)
        augmentation = T.RandomRotation(**options)
        return [augmentation.get_transform(image) for _ in range(3)]

    def test_drawn_angles(self, image):
        angles = [x.angle for x in self.matrices(image, angle=[-30, 30])]
        np.testing.assert_allclose(angles, [2.928810235, 12.911361982, 6.165802564])
        chosen = self.matrices(image, angle=[5, 50, 90], sample_style="choice", expand=False)
        assert [x.angle for x in chosen] == [5, 50, 5]
        centers = self.matrices(image, angle=20, expand=False, center=[[0.2, 0.3], [0.4, 0.9]])
        np.testing.assert_allclose(centers[0].center, [20.925310269743516, 24.481346948790495])

    def test_no_rotation(self, image):
        assert isinstance(T.RandomRotation(0).get_transform(image), T.NoOpTransform)
        with pytest.raises(AssertionError, match="both"):
            T.RandomRotation(5, sample_style="both")


class TestExtent:
    def test_random_extents(self, image):
        np.random.seed(0)
        augmentation = T.RandomExtent((0.4, 1.6), (0.5, 0.3))
        first, second = (augmentation.get_transform(image) for _ in range(2))
        np.testing.assert_allclose(first.src_rect, [4.7767, 0.057, 69.3498, 39.2243], atol=1e-4)
        np.testing.assert_allclose(second.src_rect, [-3.9713, 0.623, 60.3142, 39.6158], atol=1e-4)
        assert second.output_size == (38, 64)
        picture = second.apply_image(image)
        assert picture.shape == (38, 64, 3)
        assert int(picture.sum()) == 650132
        expected = [[3.954, -0.607], [8.931, 6.215], [64.683, 35.451]]
        moved = second.apply_coords(POINTS)
        np.testing.assert_allclose(moved, expected, atol=1e-3)
        assert second.apply_image(image[..., :1]).shape == (38, 64, 1)

    @pytest.mark.core_only("upstream interpolates labels, and fills with 0")
    def test_labels_and_fill(self):
        labels = np.full((8, 8), 200, dtype=np.uint8)
        labels[:, 4:] = 0
        zoom = T.ExtentTransform((-2, -2, 10, 10), (31, 31), fill=7)
        assert set(np.unique(zoom.apply_segmentation(labels))) == {0, 7, 200}
        picture = zoom.apply_image(np.stack([labels] * 3, axis=2))
        assert picture[0, 0].tolist() == [7, 7, 7]


class TestMinIoURandomCrop:
    BOXES = np.array([[3.0, 4, 30, 30], [20, 10, 60, 35]])

    def test_drawn_windows(self, image):
        np.random.seed(1)
        crops = [T.MinIoURandomCrop().get_transform(image, self.BOXES) for _ in range(12)]
        windows = [(x.x0, x.y0, x.w, x.h) for x in crops if hasattr(x, "x0")]
        assert len(windows) == 9
        assert windows[:4] == [(21, 3, 35, 20), (2, 0, 43, 36), (27, 1, 21, 33), (1, 2, 59, 30)]

    def test_images_without_boxes(self, image):
        assert isinstance(T.MinIoURandomCrop().get_transform(image, None), T.NoOpTransform)
        np.random.seed(4)
        nothing = np.zeros((0, 4))
        crops = [T.MinIoURandomCrop().get_transform(image, nothing) for _ in range(6)]
        assert any(hasattr(x, "x0") for x in crops)

    def test_on_an_input(self, image):
        np.random.seed(1)
        sample = T.AugInput(image, boxes=self.BOXES.copy())
        window = T.MinIoURandomCrop(min_ious=(0.1,))(sample)
        assert sample.image.shape[:2] == (getattr(window, "h", 37), getattr(window, "w", 61))
