# For those who build with Docker all the same. squib needs none of it: `squib image` and `squib build --drop` make the same.
#
#   docker build --target docker -t example/clock .
#   docker run --rm --init --publish 8080:8080 example/clock
#
#   docker build --target firecracker -t squib-firecracker .
#   mkdir -p drop && docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD/drop:/drop" squib-firecracker
#
# APPLIANCE is one that squib has, or a folder of the build context.
#
# The base is pinned by its digest, for all processors. A newer one: docker buildx imagetools inspect debian:12-slim
ARG BASE=debian:12.15-slim@sha256:88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171

FROM ${BASE} AS tools
ENV PATH=/opt/squib/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin XDG_CACHE_HOME=/var/cache PYTHONDONTWRITEBYTECODE=1
# A base that has them needs no network here.
RUN dpkg -s ca-certificates e2fsprogs python3-venv >/dev/null 2>&1 \
    || { apt-get update && apt-get install -y --no-install-recommends ca-certificates e2fsprogs python3-venv; }
WORKDIR /src
COPY requirements/run.txt requirements/
RUN python3 -m venv /opt/squib && pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt
COPY . .
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM tools AS build
ARG APPLIANCE=clock
RUN squib image "$APPLIANCE" --output /tmp/image.tar --quiet \
    && mkdir /tmp/image /rootfs && tar -xf /tmp/image.tar -C /tmp/image \
    && for layer in $(python3 -c 'import json; print(*json.load(open("/tmp/image/manifest.json"))[0]["Layers"])'); do \
        tar -xpzf "/tmp/image/$layer" -C /rootfs || exit; \
    done

# The server, as `squib image` makes it, but for the layers.
FROM scratch AS docker
COPY --from=build /rootfs /
USER 65532:65532
ENV SQUIB_PORT=8080
EXPOSE 8080
ENTRYPOINT ["/bin/server"]
CMD ["--port", "8080"]

# The tuned kernel: minutes, once. A base that has it in its cache compiles nothing.
FROM tools AS kernel
RUN squib kernel show >/dev/null 2>&1 \
    || { apt-get update && apt-get install -y --no-install-recommends bc bison flex gcc libc6-dev libelf-dev make xz-utils \
         && squib kernel build --quiet; }

# The tools: leaves in /drop what boots in Firecracker. Unprivileged, with any user's id, without a network.
FROM tools AS firecracker
ARG APPLIANCE=clock
# Firecracker and the kernel come into the image, so that a run needs no network.
COPY --from=kernel /var/cache/squib/kernels /var/cache/squib/kernels
RUN squib fetch firecracker --quiet && squib build "$APPLIANCE" --kernel tuned --output /tmp/built --quiet && rm -r /tmp/built \
    && chmod -R go=u-w /var/cache/squib # for any user, to read
USER 65534:65534
VOLUME /drop
ENTRYPOINT ["squib", "build", "--drop", "/drop"]
