package io.gantry.checkpoint.linux;

/** Flags of {@code mount(2)} and {@code umount2(2)} ({@code linux/mount.h}). The calls themselves are made inside stubs. */
public final class Mount {
  public static final long MS_RDONLY = 1;
  public static final long MS_NOSUID = 2;
  public static final long MS_NODEV = 4;
  public static final long MS_NOEXEC = 8;
  public static final long MS_REMOUNT = 32;
  public static final long MS_BIND = 4096;
  public static final long MS_REC = 16384;
  public static final long MS_PRIVATE = 1 << 18;
  public static final long MNT_DETACH = 2;

  private Mount() {}
}
