package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import java.util.List;
import java.util.Set;

/** A device without state: {@code /dev/null}, {@code zero}, {@code full}, {@code random}, {@code urandom}. */
final class CharacterDevice implements FileKind {
  /** Major 1 is memory; its minors ({@code Documentation/admin-guide/devices.txt}). */
  private static final int MEMORY = 1;

  private static final Set<Integer> STATELESS = Set.of(3, 5, 7, 8, 9);
  /** Majors of consoles and serial lines; pseudo-terminals are {@link PseudoTerminal}s. */
  private static final Set<Integer> TERMINALS = Set.of(4, 5);

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return TERMINALS.contains(major(seen.status().rawDevice())) ? "terminal" : "character device";
  }

  @Override
  public String how() {
    return "is opened again by its path";
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return seen.isPath() && seen.status().type() == FileStatus.S_IFCHR && (seen.info().statusFlags() & Fd.O_PATH) == 0;
  }

  /** {@code gnu_dev_major}, {@code sys/sysmacros.h}. */
  private static int major(long device) {
    return (int) (device >>> 8 & 0xfff | device >>> 32 & ~0xfff);
  }

  private static int minor(long device) {
    return (int) (device & 0xff | device >>> 12 & ~0xff);
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    long device = seen.status().rawDevice();
    if (major(device) != MEMORY || !STATELESS.contains(minor(device))) {
      return List.of(
          TERMINALS.contains(major(device))
              ? seen.link() + " is a device of this host's console; start the program with its console in a file or with /dev/null"
              : "%s (device %d:%d) has state in this host's driver".formatted(seen.link(), major(device), minor(device)));
    }
    return PathFile.obstacles(seen, inventory);
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    // The position of these devices means nothing, and random and urandom cannot seek.
    return PathFile.capture(id, seen, 0, copy, session);
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.REG && (file.getReg().getMode() & FileStatus.S_IFMT) == FileStatus.S_IFCHR;
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    PathFile.recreate(file, home, recreation);
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return PathFile.lateFlags(file);
  }
}
