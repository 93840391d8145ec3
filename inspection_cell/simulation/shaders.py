"""The renderer's GLSL: a depth pass, and a shading pass that runs once per visible pixel."""

from __future__ import annotations

VERTEX = """
#version 330 core
in vec3 in_position;
in vec3 in_normal;
uniform mat4 T_camera_model;
uniform vec4 intrinsics;      // fx fy cx cy
uniform vec2 image_size;
uniform vec2 depth_range;     // near far
uniform float distortion[5];  // k1 k2 p1 p2 k3
invariant gl_Position;
out vec3 model_position;
out vec3 model_normal;
out vec3 camera_position;
out vec3 camera_normal;

void main() {
    vec3 p = (T_camera_model * vec4(in_position, 1.0)).xyz;
    vec2 q = p.xy / p.z;
    float r2 = min(dot(q, q), 0.5);  // beyond, outside every image, the polynomial would fold back
    float radial = 1.0 + r2 * (distortion[0] + r2 * (distortion[1] + r2 * distortion[4]));
    vec2 tangential = vec2(2.0 * distortion[2] * q.x * q.y + distortion[3] * (r2 + 2.0 * q.x * q.x),
                           distortion[2] * (r2 + 2.0 * q.y * q.y) + 2.0 * distortion[3] * q.x * q.y);
    vec2 pixel = intrinsics.xy * (q * radial + tangential) + intrinsics.zw;
    // Image row 0 is the framebuffer's lowest row, which is read back first: no flip.
    vec2 ndc = 2.0 * (pixel + 0.5) / image_size - 1.0;
    float near = depth_range.x, far = depth_range.y;
    float depth = (far + near) / (far - near) - 2.0 * far * near / ((far - near) * p.z);
    gl_Position = vec4(ndc * p.z, depth * p.z, p.z);
    model_position = in_position;
    model_normal = in_normal;
    camera_position = p;
    camera_normal = mat3(T_camera_model) * in_normal;
}
"""

DEPTH_FRAGMENT = """
#version 330 core
void main() {}
"""

SHADE_FRAGMENT = """
#version 330 core
#define MAX_MARKS 64
in vec3 model_position;
in vec3 model_normal;
in vec3 camera_position;
in vec3 camera_normal;
uniform mat4 T_camera_model;
uniform vec3 albedo;
uniform float f0;
uniform float lobe;
uniform float bump;
uniform float tone;
uniform vec2 texture_offset;  // metres
uniform float texture_lod;
uniform float ring;
uniform float dome;
uniform float stray;
uniform float distance_ref;   // metres at which the ring's level is 1
uniform sampler2D grain;      // r g: slope, b: tone
#ifdef PRINTED
uniform sampler2D print_image;
uniform vec4 print_frame;     // metres: origin, size
uniform float print_ink;
#endif
#ifdef MARKED
uniform int mark_count;
uniform vec4 mark_ball;       // holds all marks: middle, radius
uniform vec4 mark_start[MAX_MARKS];
uniform vec4 mark_end[MAX_MARKS];
#endif
out vec4 colour;

const float RING_ANGLE = 0.17;  // of the ring's radius, seen from the part

void main() {
    vec3 facing = abs(model_normal);
    bool flat_z = facing.z > 0.7;
    bool flat_x = !flat_z && facing.x > facing.y;
    vec2 uv = flat_z ? model_position.xy : (flat_x ? model_position.yz : model_position.xz);
    uv += texture_offset;
    vec3 fine = textureLod(grain, uv / 0.0128, texture_lod).rgb - 0.5;
    float broad = textureLod(grain, uv / 0.19 + 0.37, 0.0).b - 0.5;
    vec2 slope = 2.0 * bump * fine.rg;
    vec3 tilt = flat_z ? vec3(slope, 0.0) : (flat_x ? vec3(0.0, slope) : vec3(slope.x, 0.0, slope.y));
    vec3 base = albedo * (1.0 + tone * (2.0 * broad + 0.5 * fine.b));
    float gloss = 1.0;

#ifdef MARKED
    int near = distance(model_position, mark_ball.xyz) < mark_ball.w ? mark_count : 0;
    for (int i = 0; i < near; i++) {
        vec3 from = mark_start[i].xyz, along = mark_end[i].xyz - from;
        vec3 to = model_position - from;
        float t = clamp(dot(to, along) / max(dot(along, along), 1e-12), 0.0, 1.0);
        vec3 away = to - t * along;
        float width = mark_start[i].w, style = mark_end[i].w;
        float d = length(away) / width;
        if (d < 1.8) {
            float inside = 1.0 - smoothstep(0.75, 1.25, d);
            vec3 across = away / max(length(away), 1e-9);
            if (style < 0.5) {
                // A groove: bright torn bottom, walls that lean towards its middle, a raised lip on each side.
                base = mix(base, base * 1.35 + 0.10, inside);
                tilt += across * (0.55 * inside - 0.35 * (smoothstep(0.9, 1.2, d) - smoothstep(1.3, 1.8, d)));
                gloss = mix(gloss, 0.6, inside);
            } else if (style < 1.5) {
                base *= 1.0 - 0.88 * inside;
                gloss = mix(gloss, 0.1, inside);
                tilt += across * 0.30 * (smoothstep(0.8, 1.2, d) - smoothstep(1.3, 1.8, d));
            } else {
                base *= 1.0 - 0.72 * inside;
                gloss = mix(gloss, 0.7, inside);
                tilt -= across * 0.25 * (smoothstep(0.7, 1.0, d) - smoothstep(1.0, 1.4, d));
            }
        }
    }
#endif
#ifdef PRINTED
    vec2 place = (vec2(model_position.y, model_position.x) - print_frame.xy) / print_frame.zw;
    float ink = facing.z > 0.7 ? textureLod(print_image, clamp(place, 0.0, 1.0), 0.0).r : 0.0;
    base *= 1.0 - 0.93 * print_ink * ink;
#endif

    vec3 n = normalize(normalize(camera_normal) - mat3(T_camera_model) * tilt);
    float range = length(camera_position);
    vec3 v = -camera_position / range;
    float nv = clamp(dot(n, v), 0.0, 1.0);
    vec3 mirrored = 2.0 * nv * n - v;
    float fade = distance_ref / range;
    float ring_here = 1.45 * ring * fade * fade;

    // The ring around the lens: for matt surfaces its mean direction is the lens; mirrors see it as a bright circle.
    float grazing = 1.0 - nv;
    float fresnel = f0 + (1.0 - f0) * grazing * grazing * grazing * grazing * grazing;
    float off = acos(clamp(dot(mirrored, v), -1.0, 1.0));
    float from_ring = (off - RING_ANGLE) / lobe;
    float from_dome = smoothstep(2.3, 0.5, off) * (0.65 - 0.35 * mirrored.y);
    float lamp = clamp(dot(n, vec3(-0.45, -0.62, -0.64)), 0.0, 1.0);
    float diffuse = ring_here * (0.9 * nv + 0.06) + dome * (0.55 + 0.45 * nv) * (0.8 - 0.2 * n.y)
                  + 0.10 * ring_here * lamp + stray;
    float mirror = ring_here * (0.16 / lobe * exp(-0.5 * from_ring * from_ring) + 0.30 * from_dome)
                 + dome * from_dome + stray;
    colour = vec4(base * diffuse + vec3(gloss * fresnel * mirror), 1.0);
}
"""
