package io.gantry.checkpoint.memory;

import io.gantry.checkpoint.image.VmaStatus;
import io.gantry.checkpoint.image.vma_entry;
import io.gantry.checkpoint.linux.Fd;
import java.util.List;

/**
 * One mapping of an address space as it has to be recreated. The fields mean what they mean in {@code vma_entry}.
 *
 * @param end first byte behind it
 * @param offset into the file or shared object, in bytes; 0 for private anonymous memory
 * @param object number of the file or inode of the shared object; 0 for private anonymous memory
 * @param prot {@code PROT_*}
 * @param flags {@code MAP_*}
 * @param status {@link VmaStatus}
 * @param advice bit n stands for the advice with number n in {@code madvise(2)}
 * @param openFlags {@code O_RDONLY} or {@code O_RDWR} of the mapped file
 */
record Vma(long start, long end, long offset, long object, int prot, int flags, int status, long advice, int openFlags) {
  /** Set in the number of a {@code shmget(2)} segment, so that it differs from every inode number; images have the id alone. */
  static final long SEGMENT = 1L << 62;

  /** Set in the inode number of an object of reserved huge pages, which lies on another file system than others. */
  static final long HUGE = 1L << 60;

  /** What is put on in the end. */
  private static final int LATE = Mmap.MAP_LOCKED | Mmap.LOCK_ON_FAULT | Mmap.SEALED;

  long bytes() {
    return end - start;
  }

  boolean is(int statusBits) {
    return (status & statusBits) != 0;
  }

  /** Of reserved huge pages. */
  boolean huge() {
    return is(VmaStatus.HUGE_2M | VmaStatus.HUGE_1G);
  }

  boolean shared() {
    return (flags & Mmap.MAP_SHARED) != 0;
  }

  /** Whether its pages belong to the process alone and have to be sent. */
  boolean hasPrivatePages() {
    return (flags & Mmap.MAP_PRIVATE) != 0 && !is(VmaStatus.KERNEL | VmaStatus.GUARD);
  }

  /**
   * Whether it can be registered for asynchronous write protection, private or not ({@code mm/userfaultfd.c}, {@code vma_can_userfault}, and {@code
   * userfaultfd_register}: what never can be made writable cannot).
   */
  boolean trackable() {
    boolean droppable = (flags & Mmap.MAP_DROPPABLE) == Mmap.MAP_DROPPABLE;
    return !is(VmaStatus.KERNEL | VmaStatus.AIO_RING) && !(huge() && shared()) && !droppable && !(shared() && openFlags == Fd.O_RDONLY);
  }

  /** Whether pages without a private copy show something else than zeros. */
  boolean backed() {
    return is(VmaStatus.FILE_PRIVATE);
  }

  /** Whether it has no place in a stub's layout while that is built. */
  boolean madeOtherwise() {
    return is(VmaStatus.KERNEL | VmaStatus.GUARD | VmaStatus.AIO_RING);
  }

  /** Mapped from a shared object that travels as a space of its own. */
  boolean fromSharedObject() {
    return is(VmaStatus.ANON_SHARED | VmaStatus.MEMFD | VmaStatus.OWN_TMPFS);
  }

  /** Whether this one can take the place of the other without losing content: only protection and advice may differ. */
  boolean sameContentAs(Vma other) {
    return object == other.object
        && (flags & ~LATE) == (other.flags & ~LATE)
        && (status & ~(VmaStatus.HEAP | VmaStatus.STACK)) == (other.status & ~(VmaStatus.HEAP | VmaStatus.STACK))
        && openFlags == other.openFlags
        && (object == 0 || start - offset == other.start - other.offset);
  }

  /** Whether the kernel would make one mapping of this and the one right behind it. */
  boolean mergesWith(Vma next) {
    return end == next.start
        && prot == next.prot
        && flags == next.flags
        && advice == next.advice
        && object == next.object
        && openFlags == next.openFlags
        && !is(VmaStatus.KERNEL)
        && !huge()
        && (status & ~VmaStatus.HEAP) == (next.status & ~VmaStatus.HEAP)
        && (object == 0 || offset + bytes() == next.offset);
  }

  Vma within(long newStart, long newEnd) {
    long newOffset = object == 0 ? offset : offset + (newStart - start);
    return new Vma(newStart, newEnd, newOffset, object, prot, flags, status, advice, openFlags);
  }

  static Vma guard(long start, long end) {
    return new Vma(start, end, 0, 0, 0, Mmap.MAP_PRIVATE | Mmap.MAP_ANONYMOUS, VmaStatus.GUARD, 0, 0);
  }

  /** Index of the first mapping that ends behind an address; the list is in order of address. */
  static int firstEndingBehind(List<Vma> vmas, long address) {
    int low = 0;
    int high = vmas.size();
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (vmas.get(middle).end() <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  vma_entry toEntry() {
    return vma_entry.newBuilder()
        .setStart(start)
        .setEnd(end)
        .setPgoff(offset)
        .setShmid(object & ~SEGMENT)
        .setProt(prot)
        .setFlags(flags)
        .setStatus(status)
        .setFd(-1)
        .setMadv(advice)
        .setFdflags(openFlags)
        .build();
  }

  static Vma of(vma_entry entry) {
    return new Vma(
        entry.getStart(),
        entry.getEnd(),
        entry.getPgoff(),
        (entry.getStatus() & VmaStatus.SYSV_IPC) != 0 ? entry.getShmid() | SEGMENT : entry.getShmid(),
        entry.getProt(),
        entry.getFlags(),
        entry.getStatus(),
        entry.getMadv(),
        entry.getFdflags());
  }

  @Override
  public String toString() {
    return Long.toHexString(start) + "-" + Long.toHexString(end) + " prot " + prot + " flags 0x" + Integer.toHexString(flags)
        + " kind 0x" + Integer.toHexString(status) + " advice 0x" + Long.toHexString(advice)
        + (object == 0 ? "" : " object " + object + " offset 0x" + Long.toHexString(offset));
  }
}
