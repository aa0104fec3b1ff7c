package io.gantry.checkpoint;

/**
 * A container that an OCI runtime is to make, or has made.
 *
 * @param runtime {@code runc} or {@code crun}
 * @param id what the runtime calls it
 * @param bundle absolute path of its bundle; empty when it is to be adopted, and the runtime knows
 * @param adopt whether it runs already
 */
public record OciSpec(String runtime, String id, String bundle, boolean adopt) {}
