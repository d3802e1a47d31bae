"""One patient's heart: the moving dipole of each beat, and the lead matrix that the body makes of it.

Axes are Frank's: x to the left, y to the feet, z to the back. The lead matrix is Dower's (Dower, Machado, Osborne,
Clin Cardiol 1980;3:87): the eight independent leads as weighted sums of x, y and z. A QRS complex is a sum of vector
phases (septal, apical, free wall, base), each a bump in time, inside a window that is zero outside onset and offset.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

# Rows I, II, V1..V6; columns x, y, z.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# centre and width as parts of the QRS duration, then the vector in mV
Phase = tuple[float, float, tuple[float, float, float]]
NORMAL_QRS: tuple[Phase, ...] = (
    (0.17, 0.075, (-0.16, -0.02, -0.26)),
    (0.34, 0.080, (0.30, 0.30, -0.36)),
    (0.50, 0.095, (0.85, 0.80, 0.50)),
    (0.72, 0.090, (-0.12, -0.16, 0.46)),
)
LBBB_QRS: tuple[Phase, ...] = (
    (0.16, 0.080, (0.22, 0.10, 0.02)),
    (0.36, 0.110, (0.62, 0.32, 0.75)),
    (0.56, 0.120, (0.45, 0.10, 0.95)),
    (0.75, 0.090, (0.70, 0.12, 0.55)),
)
RBBB_QRS: tuple[Phase, ...] = (
    (0.11, 0.050, (-0.15, -0.02, -0.26)),
    (0.22, 0.055, (0.30, 0.30, -0.34)),
    (0.34, 0.065, (0.80, 0.78, 0.42)),
    (0.50, 0.070, (0.02, -0.05, 0.22)),
    (0.73, 0.110, (-0.52, 0.02, -0.52)),
)
ANTERIOR_QRS: tuple[Phase, ...] = (
    (0.19, 0.085, (-0.16, 0.04, 0.30)),
    (0.36, 0.085, (-0.08, 0.22, 0.42)),
    (0.52, 0.100, (0.64, 0.62, 0.68)),
    (0.72, 0.095, (-0.02, -0.08, 0.20)),
)
INFERIOR_QRS: tuple[Phase, ...] = (
    (0.20, 0.085, (0.05, -0.38, -0.22)),
    (0.37, 0.090, (0.34, -0.30, -0.38)),
    (0.55, 0.090, (0.85, 0.52, 0.46)),
    (0.74, 0.085, (-0.10, 0.12, 0.42)),
)
PVC_LEFT_QRS: tuple[Phase, ...] = (  # from the left ventricle: right bundle branch block pattern
    (0.25, 0.13, (-0.45, 0.40, -0.50)),
    (0.50, 0.15, (-0.80, 0.85, -0.95)),
    (0.76, 0.12, (-0.25, 0.35, -0.40)),
)
PVC_RIGHT_QRS: tuple[Phase, ...] = (  # from the right ventricle: left bundle branch block pattern
    (0.25, 0.13, (0.40, 0.50, 0.25)),
    (0.50, 0.15, (0.85, 0.95, 1.10)),
    (0.76, 0.12, (0.35, 0.45, 0.50)),
)
NORMAL_T = (0.33, 0.27, -0.16)
P_RIGHT, P_LEFT = (0.03, 0.085, -0.050), (0.080, 0.060, 0.055)


@dataclass(frozen=True)
class Patient:
    """What stays the same in all recordings of one person; every field varies between persons."""

    key: str
    age_years: int
    sex: str
    gain: float
    p_gain: float
    t_gain: float
    axis: np.ndarray
    t_axis: np.ndarray
    lead_matrix: np.ndarray
    phase_jitter: np.ndarray
    pr_s: float
    qrs_s: float
    qtc_s: float
    rate_bpm: float
    variability: float
    breath_hz: float
    u_mv: float
    pvc_from_left: bool


def rotation(x_deg: float, y_deg: float, z_deg: float) -> np.ndarray:
    """Rotation matrix ``[3, 3]`` about x, then y, then z."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians([x_deg, y_deg, z_deg])), np.sin(np.radians([x_deg, y_deg, z_deg]))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    product: np.ndarray = about_z @ about_y @ about_x
    return product


def draw_patient(rng: np.random.Generator, key: str = "") -> Patient:
    """Draw a person: habitus, axis, voltages, intervals and heart-rate habits within the ranges of adults."""
    age, sex = int(np.clip(rng.normal(58, 17), 18, 95)), str(rng.choice(["F", "M"]))
    turn = np.clip(rng.normal(0, (5, 7, 9), 3), (-10, -12, -18), (10, 12, 12)) - (0, 0, 0.15 * (age - 50))
    electrodes = 1 + np.concatenate([rng.normal(0, 0.03, (2, 3)), rng.normal(0, 0.09, (6, 3))])
    chest = np.concatenate([np.ones(2), rng.uniform(0.8, 1.15, 6)])[:, None]
    return Patient(
        key=key,
        age_years=age,
        sex=sex,
        gain=float(np.clip(rng.normal(1.0 if sex == "M" else 0.9, 0.14), 0.68, 1.3)),
        p_gain=float(rng.uniform(0.8, 1.35)),
        t_gain=float(rng.uniform(0.7, 1.15) * (1.0 if sex == "M" else 0.85)),
        axis=rotation(*turn),
        t_axis=rotation(*rng.normal(0, 7, 3)),
        lead_matrix=DOWER * electrodes * chest,
        phase_jitter=rng.normal(0, 1, (8, 5)).clip(-2, 2),
        pr_s=float(rng.uniform(0.130, 0.190)),
        qrs_s=float(rng.uniform(0.078, 0.102)),
        qtc_s=float(rng.uniform(0.385, 0.435) + (0.008 if sex == "F" else 0.0)),
        rate_bpm=float(np.clip(rng.normal(75, 9), 61, 95)),
        variability=float(rng.uniform(0.008, 0.04) * np.clip(1.7 - age / 70, 0.4, 1.4)),
        breath_hz=float(rng.uniform(0.17, 0.32)),
        u_mv=float(rng.uniform(0.02, 0.06)) if rng.random() < 0.25 else 0.0,
        pvc_from_left=bool(rng.random() < 0.5),
    )


@dataclass(frozen=True)
class Morphology:
    """The vectors of one recording's beats: QRS phases, T, ST and their durations."""

    phases: tuple[Phase, ...]
    qrs_s: float
    qtc_s: float
    pr_s: float
    t_vector: np.ndarray
    st_vector: np.ndarray
    st_share: float = 0.25
    scale: float = 1.0


def morphology(patient: Patient, findings: Sequence[str], rng: np.random.Generator) -> Morphology:
    """The shape of this patient's conducted beats with these findings."""
    shown = set(findings)
    phases, qrs_s, qtc_s, pr_s = NORMAL_QRS, patient.qrs_s, patient.qtc_s, patient.pr_s
    t_vector, st_vector, degree = np.array(NORMAL_T), np.zeros(3), rng.uniform(0.75, 1.25)
    if "first_degree_block" in shown:
        pr_s = rng.uniform(0.225, 0.31)
    if "long_qt" in shown:
        qtc_s = rng.uniform(0.490, 0.560)
    if "anterior_infarction" in shown:
        phases = ANTERIOR_QRS
        acute = rng.random() < 0.5
        st_vector = (np.array([0.10, 0.0, -0.20]) if acute else np.array([0.02, 0.0, -0.05])) * degree
        t_vector = np.array([0.30, 0.22, -0.26]) if acute else np.array([-0.12, 0.22, 0.24]) * degree
    if "inferior_infarction" in shown:
        phases = INFERIOR_QRS
        acute = rng.random() < 0.5
        st_vector = (np.array([-0.06, 0.20, 0.03]) if acute else np.array([0.0, 0.03, 0.0])) * degree
        t_vector = np.array([0.22, 0.33, -0.12]) if acute else np.array([0.30, -0.24, -0.20])
    if "rbbb" in shown:
        phases = _with_late_right(phases) if phases is not NORMAL_QRS else RBBB_QRS
        qrs_s, t_vector = rng.uniform(0.124, 0.148), t_vector + np.array([0.05, 0.0, 0.22])
    if "lbbb" in shown:
        phases, qrs_s, qtc_s = LBBB_QRS, rng.uniform(0.128, 0.160), qtc_s + 0.03
        t_vector, st_vector = np.array([-0.30, -0.05, -0.36]), np.array([-0.07, -0.01, -0.12])
    if "lvh" in shown:
        phases, qrs_s = _enlarged(phases, rng.uniform(1.6, 2.0)), patient.qrs_s + 0.008
        if rng.random() < 0.7:  # strain
            t_vector, st_vector = np.array([-0.22, -0.08, -0.26]), np.array([-0.06, -0.03, -0.06])
    if "st_depression" in shown:
        st_vector = np.array([-0.13, -0.07, 0.07]) * rng.uniform(0.9, 1.5)
        t_vector = t_vector * 0.6
    if "t_inversion" in shown:
        t_vector = np.array([-0.27, -0.14, 0.10]) * rng.uniform(0.8, 1.2)
    shape = Morphology(_personal(phases, patient), qrs_s, qtc_s, pr_s, t_vector, st_vector)
    return _with_high_voltage(shape, patient) if "lvh" in shown else shape


def _with_high_voltage(shape: Morphology, patient: Patient) -> Morphology:
    """Raise the QRS, where needed, until S in V1 plus R in V5 or V6 reach 3.8 mV (Sokolow and Lyon ask for 3.5)."""
    time_s = np.linspace(0, shape.qrs_s, 100)
    leads = patient.gain * patient.lead_matrix @ patient.axis @ qrs(time_s, 0.0, shape)
    sokolow_mv = max(leads[6].max(), leads[7].max()) - leads[2].min()
    return replace(shape, scale=float(max(1.0, 3.8 / sokolow_mv)))


def _enlarged(phases: tuple[Phase, ...], factor: float) -> tuple[Phase, ...]:
    """A thick left ventricle: the free wall's and the base's forces grow."""
    grown = list(phases[:2])
    for centre, width, (x, y, z) in phases[2:]:
        grown.append((centre, width, (x * factor, y * 0.8, z * factor)))
    return tuple(grown)


def _with_late_right(phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
    early = tuple((centre * 0.66, width * 0.68, vector) for centre, width, vector in phases)
    return (*early, (0.74, 0.11, (-0.50, 0.02, -0.52)))


def _personal(phases: tuple[Phase, ...], patient: Patient) -> tuple[Phase, ...]:
    shaped = []
    for (centre, width, vector), jitter in zip(phases, patient.phase_jitter, strict=False):
        moved = np.array(vector) * (1 + 0.10 * jitter[:3]) + 0.02 * jitter[:3]
        shaped.append((centre + 0.012 * jitter[3], width * (1 + 0.06 * jitter[4]), tuple(moved.tolist())))
    return tuple(shaped)


def pvc_morphology(patient: Patient, rng: np.random.Generator) -> Morphology:
    """A wide beat of one focus with ST and T against the QRS."""
    phases = _personal(PVC_LEFT_QRS if patient.pvc_from_left else PVC_RIGHT_QRS, patient)
    area = np.mean([vector for _, _, vector in phases], axis=0)
    return Morphology(
        phases,
        qrs_s=rng.uniform(0.135, 0.17),
        qtc_s=patient.qtc_s + 0.05,
        pr_s=0.0,
        t_vector=-0.62 * area,
        st_vector=-0.12 * area,
        st_share=0.02,
        scale=1.1,
    )


def ramp(x: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at x <= 0 to 1 at x >= 1."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)


def bump(time_s: np.ndarray, on_s: float, off_s: float, peak: float = 0.5) -> np.ndarray:
    """A smooth wave that is zero outside `on_s` to `off_s` and 1 at the part `peak` of the way."""
    part = np.clip((time_s - on_s) / (off_s - on_s), 0.0, 1.0)
    return np.sin(np.pi * part ** (np.log(0.5) / np.log(peak))) ** 2


def qrs(time_s: np.ndarray, on_s: float, shape: Morphology) -> np.ndarray:
    """Heart vector ``[3, sample]`` of one QRS complex, zero outside its window."""
    part = (time_s - on_s) / shape.qrs_s
    centres, widths = np.array([[phase[0], phase[1]] for phase in shape.phases]).T
    bumps = np.exp(-0.5 * ((part[None, :] - centres[:, None]) / widths[:, None]) ** 2)
    window = ramp(part / 0.12) * ramp((1 - part) / 0.12)
    vector: np.ndarray = np.array([phase[2] for phase in shape.phases]).T @ (bumps * window)
    return vector


def st_shape(time_s: np.ndarray, qrs_off_s: float, peak_s: float, off_s: float) -> np.ndarray:
    """The injury current: up in the last 35 ms of the QRS, nearly level, gone at the end of T."""
    slope = 0.85 + 0.3 * (time_s - qrs_off_s) / (peak_s - qrs_off_s)
    return slope * ramp((time_s - qrs_off_s + 0.035) / 0.035) * (1 - ramp((time_s - peak_s) / (off_s - peak_s)))
