/* SPDX-License-Identifier: Apache-2.0
 * place_name.h: the container and the pod that a cgroup's path tells of.
 */
#ifndef KYMO_MODEL_PLACE_NAME_H
#define KYMO_MODEL_PLACE_NAME_H

#include <stddef.h>

#define KYMO_PLACE_NAME_MAX 80u
#define KYMO_PLACE_UNKNOWN "unknown"

/*
 * The container of a cgroup path: the first twelve digits of its id where the id is a hash, as its tools
 * print it, else its name; "unknown" where the path has none of the shapes below.
 *
 *     docker        /docker/ID   /system.slice/docker-ID.scope
 *     containerd    /system.slice/nerdctl-ID.scope  cri-containerd-ID.scope  /k8s.io/ID  /default/NAME  /moby/ID
 *     CRI-O         crio-ID.scope  /crio-ID
 *     podman        libpod-ID.scope  /libpod-ID
 *     kubepods      /kubepods/.../podUID/ID
 *     systemd       /machine.slice/machine-NAME.scope  systemd-nspawn@NAME.service
 *     LXC           /lxc/NAME  /lxc.payload.NAME
 *     any           a component that is 64 hexadecimal digits
 *
 * out [KYMO_PLACE_NAME_MAX]; the innermost one where containers are nested
 */
void kymo_container_name(const char *path, size_t n, char *out);

/* The pod: the UID, with dashes, of the innermost component podUID, podUID.slice or
 * kubepods-...-podUID.slice; else "unknown". out [KYMO_PLACE_NAME_MAX] */
void kymo_pod_name(const char *path, size_t n, char *out);

#endif
