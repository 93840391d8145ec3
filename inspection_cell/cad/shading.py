"""How a rendered picture is lit: lights, surroundings and surfaces, and the shader that uses them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAX_LIGHTS = 6


@dataclass(frozen=True)
class Light:
    """A point light without falloff: `position` in the optical frame, metres; `intensity` 1 lights white fully."""

    position: tuple[float, float, float]
    intensity: float


@dataclass(frozen=True)
class Material:
    """A grey surface.

    Attributes:
        albedo: diffuse reflectance, 0 to 1.
        specular, shininess: Blinn-Phong's highlight.
        mirror: how much of the surroundings it reflects (metals).
        texture, texture_per_m: amplitude and spatial frequency of a noise on the albedo.
    """

    albedo: float = 0.5
    specular: float = 0.2
    shininess: float = 20.0
    mirror: float = 0.0
    texture: float = 0.0
    texture_per_m: float = 500.0


@dataclass(frozen=True)
class Shading:
    """The light on a part.

    Attributes:
        lights: at most 6.
        ambient: light from everywhere.
        sky: (3,) direction in the optical frame towards which the surroundings grow brighter; its length says how much.
        materials: by component name; others get `material`.
    """

    lights: tuple[Light, ...] = (Light((0.0, 0.0, 0.0), 0.8),)
    ambient: float = 0.2
    sky: tuple[float, float, float] = (0.0, -0.2, 0.0)
    materials: dict[str, Material] = field(default_factory=dict)
    material: Material = Material()

    def light_arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Positions (6, 3) and intensities (6,) as the shader wants them."""
        if len(self.lights) > MAX_LIGHTS:
            raise ValueError(f"{len(self.lights)} lights: at most {MAX_LIGHTS}")
        positions, intensities = np.zeros((MAX_LIGHTS, 3), np.float32), np.zeros(MAX_LIGHTS, np.float32)
        for i, light in enumerate(self.lights):
            positions[i], intensities[i] = light.position, light.intensity
        return positions, intensities


VERTEX = """
#version 330
uniform mat4 T_camera_part;
uniform mat4 projection;
in vec3 in_position;
in vec3 in_normal;
out vec3 at;
out vec3 normal;
out vec3 part_at;
void main() {
    vec4 p = T_camera_part * vec4(in_position, 1.0);
    at = p.xyz;
    part_at = in_position;
    normal = mat3(T_camera_part) * in_normal;
    gl_Position = projection * p;
}
"""

GEOMETRY_FRAGMENT = """
#version 330
uniform float id;
in vec3 at;
in vec3 normal;
layout(location = 0) out vec4 normal_depth;
layout(location = 1) out float component;
void main() {
    vec3 n = normalize(normal);
    if (dot(n, at) > 0.0) n = -n;
    normal_depth = vec4(n, at.z);
    component = id;
}
"""

SHADE_FRAGMENT = """
#version 330
uniform vec3 light_position[6];
uniform float light_intensity[6];
uniform float ambient;
uniform vec3 sky;
uniform float albedo, specular, shininess, mirror, texture_amplitude, texture_per_m;
in vec3 at;
in vec3 normal;
in vec3 part_at;
layout(location = 0) out vec2 picture;

float hash(vec3 p) {
    p = fract(p * 0.3183099 + vec3(0.1, 0.2, 0.3)) * 17.0;
    return fract(p.x * p.y * p.z * (p.x + p.y + p.z));
}
float noise(vec3 p) {
    vec3 i = floor(p), f = fract(p);
    f = f * f * (3.0 - 2.0 * f);
    float x00 = mix(hash(i), hash(i + vec3(1, 0, 0)), f.x);
    float x10 = mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x);
    float x01 = mix(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), f.x);
    float x11 = mix(hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)), f.x);
    return mix(mix(x00, x10, f.y), mix(x01, x11, f.y), f.z) * 2.0 - 1.0;
}
float surroundings(vec3 d) { return max(ambient + dot(sky, d), 0.0); }
void main() {
    vec3 n = normalize(normal), to_eye = normalize(-at);
    if (dot(n, to_eye) < 0.0) n = -n;
    float colour = albedo * (1.0 + texture_amplitude * noise(part_at * texture_per_m));
    float light = colour * surroundings(n) + mirror * surroundings(reflect(-to_eye, n));
    for (int i = 0; i < 6; i++) {
        vec3 to_light = normalize(light_position[i] - at);
        float lambert = max(dot(n, to_light), 0.0);
        vec3 halfway = normalize(to_light + to_eye);
        float highlight = lambert > 0.0 ? specular * pow(max(dot(n, halfway), 0.0), shininess) : 0.0;
        light += light_intensity[i] * (colour * lambert + highlight);
    }
    picture = vec2(light, 1.0);
}
"""
