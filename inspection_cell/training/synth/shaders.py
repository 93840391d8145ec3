"""GLSL of the training renderer: geometry first, then light once for each pixel that shows something.

Phong: B. T. Phong, "Illumination for computer generated pictures", CACM 18 (1975). Cook and Torrance: R. L. Cook,
K. E. Torrance, "A reflectance model for computer graphics", ACM TOG 1 (1982), with Beckmann's facets and Fresnel's
equations for the complex index n + ik. Simplex noise: K. Perlin, "Noise hardware" (2001); here the corners of a cell
are told by the ranks of its coordinates, and gradients come from an integer hash.
"""

from __future__ import annotations

from inspection_cell.training.synth.appearance import LIGHTS, LOBES

OBJECTS = 8
"""At most so many in one picture."""

GEOMETRY_VERTEX = """
#version 330
uniform mat4 T_camera_object;
uniform mat4 projection;
uniform float per_radius;
in vec3 in_position;
in vec3 in_normal;
out vec3 at;
out vec3 normal;
out vec3 place;
void main() {
    vec4 p = T_camera_object * vec4(in_position, 1.0);
    at = p.xyz;
    place = in_position * per_radius;
    normal = mat3(T_camera_object) * in_normal;
    gl_Position = projection * p;
}
"""

GEOMETRY_FRAGMENT = """
#version 330
uniform float id;
in vec3 at;
in vec3 normal;
in vec3 place;
layout(location = 0) out vec4 normal_depth;
layout(location = 1) out vec4 place_id;
void main() {
    vec3 n = normalize(normal);
    if (dot(n, at) > 0.0) n = -n;
    normal_depth = vec4(n, at.z);
    place_id = vec4(place, id);
}
"""

SCREEN_VERTEX = """
#version 330
void main() {
    vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
    gl_Position = vec4(corner, 0.0, 1.0);
}
"""

LIGHT_FRAGMENT = (
    f"""
#version 330
const int OBJECTS = {OBJECTS}, LIGHTS = {LIGHTS}, LOBES = {LOBES};
"""
    + """
uniform sampler2D normal_depth;
uniform sampler2D place_id;
uniform vec4 rays;                      // 1 / fx, 1 / fy, cx, cy
uniform vec3 colour[OBJECTS];
uniform vec4 surface[OBJECTS];          // model, specular, shininess, roughness
uniform vec4 pattern[OBJECTS];          // texture, two frequencies, contrast
uniform vec2 index[OBJECTS];            // n, k
uniform mat3 turn[OBJECTS];
uniform vec3 light_direction[LIGHTS];
uniform vec3 light_colour[LIGHTS];
uniform vec3 lobe_direction[LOBES];
uniform vec3 lobe_colour[LOBES];
uniform float lobe_sharpness[LOBES];
uniform vec3 ambient;
uniform vec3 tilt;
out vec4 picture;

uint mixed(uint x) {
    x ^= x >> 16; x *= 0x7feb352du; x ^= x >> 15; x *= 0x846ca68bu; x ^= x >> 16;
    return x;
}
uint cell_hash(ivec3 c) { return mixed(uint(c.x) + mixed(uint(c.y) + mixed(uint(c.z)))); }
float corner(vec3 from, ivec3 cell) {
    uint h = cell_hash(cell);
    vec3 gradient = vec3(h & 1023u, (h >> 10) & 1023u, (h >> 20) & 1023u) / 511.5 - 1.0;
    float reach = max(0.6 - dot(from, from), 0.0);
    reach *= reach;
    return reach * reach * dot(gradient, from);
}
float simplex(vec3 p) {
    vec3 cell = floor(p + (p.x + p.y + p.z) / 3.0);
    vec3 a = p - cell + (cell.x + cell.y + cell.z) / 6.0;
    float xy = step(a.y, a.x), xz = step(a.z, a.x), yz = step(a.z, a.y);
    vec3 rank = vec3(xy + xz, 1.0 - xy + yz, 2.0 - xz - yz);
    vec3 second = step(1.5, rank), third = step(0.5, rank);
    ivec3 c = ivec3(cell);
    return 32.0 * (corner(a, c) + corner(a - second + 1.0 / 6.0, c + ivec3(second))
                 + corner(a - third + 2.0 / 6.0, c + ivec3(third)) + corner(a - 0.5, c + ivec3(1)));
}
float tone(vec3 place, int o) {
    vec4 how = pattern[o];
    if (how.x < 0.5) return 0.0;
    vec3 p = turn[o] * place;
    if (how.x < 1.5) {
        float first = simplex(p * how.y);
        return how.w * (how.z > 0.0 ? 0.6 * first + 0.6 * simplex(p.yzx * how.z) : first);
    }
    uint h = cell_hash(ivec3(floor(p * how.y * 4.0)));
    return how.w * (float(h & 65535u) / 32767.5 - 1.0);
}
float fresnel(float c, vec2 nk) {
    float c2 = c * c, s2 = 1.0 - c2;
    float t = nk.x * nk.x - nk.y * nk.y - s2, modulus = sqrt(t * t + 4.0 * nk.x * nk.x * nk.y * nk.y);
    float a = sqrt(max(0.5 * (modulus + t), 0.0));
    float across = (modulus + c2 - 2.0 * a * c) / (modulus + c2 + 2.0 * a * c);
    float along = (c2 * modulus + s2 * s2 - 2.0 * a * c * s2) / (c2 * modulus + s2 * s2 + 2.0 * a * c * s2);
    return 0.5 * across * (1.0 + along);
}
vec3 surroundings(vec3 d, float blunt) {
    vec3 sum = ambient * (1.0 + dot(tilt, d));
    for (int i = 0; i < LOBES; i++) {
        float sharp = lobe_sharpness[i] / (1.0 + blunt * lobe_sharpness[i]);
        // A blunter surface spreads the same light wider.
        sum += lobe_colour[i] * (sharp / lobe_sharpness[i]) * exp(sharp * (dot(d, lobe_direction[i]) - 1.0));
    }
    return max(sum, 0.0);
}
void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    vec4 first = texelFetch(normal_depth, pixel, 0), second = texelFetch(place_id, pixel, 0);
    if (second.w < 0.5) { picture = vec4(0.0); return; }
    int o = int(second.w + 0.5) - 1;
    vec3 n = first.xyz;
    vec3 v = -normalize(vec3((gl_FragCoord.xy - 0.5 - rays.zw) * rays.xy, 1.0));
    vec3 base = clamp(colour[o] * (1.0 + tone(second.xyz, o)), 0.0, 1.0);
    bool metal = surface[o].x > 0.5;
    float specular = surface[o].y, shininess = surface[o].z, m = surface[o].w;
    float nv = max(dot(n, v), 1e-3);
    vec3 mirrored = reflect(-v, n);
    float blunt = metal ? m * m : 2.0 / shininess;
    vec3 diffuse = surroundings(n, 1.0), shine = surroundings(mirrored, blunt);
    shine *= metal ? fresnel(nv, index[o]) : 0.25;
    for (int i = 0; i < LIGHTS; i++) {
        vec3 l = light_direction[i];
        float nl = dot(n, l);
        if (nl <= 0.0) continue;
        diffuse += light_colour[i] * nl;
        if (metal) {
            vec3 h = normalize(l + v);
            float nh = max(dot(n, h), 1e-3), vh = max(dot(v, h), 1e-3), t = 1.0 / (nh * nh) - 1.0;
            float facets = exp(-t / (m * m)) / (m * m * nh * nh * nh * nh);
            float kept = min(1.0, 2.0 * nh * min(nv, nl) / vh);
            shine += light_colour[i] * fresnel(vh, index[o]) * facets * kept / (4.0 * nv);
        } else {
            shine += light_colour[i] * pow(max(dot(mirrored, l), 0.0), shininess);
        }
    }
    // Cook and Torrance share the light between the two; Phong adds them.
    picture = vec4((metal ? 1.0 - specular : 1.0) * base * diffuse + specular * shine, second.w);
}
"""
)
