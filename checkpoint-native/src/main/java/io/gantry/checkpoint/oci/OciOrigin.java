package io.gantry.checkpoint.oci;

/**
 * How a container was made, which its destination must be able to do again.
 *
 * @param runtime {@code runc} or {@code crun}
 * @param id what the runtime calls it
 * @param bundle absolute path of its bundle
 * @param digest SHA-256 of the bundle's {@code config.json}, lower-case hexadecimal
 */
public record OciOrigin(String runtime, String id, String bundle, String digest) {}
