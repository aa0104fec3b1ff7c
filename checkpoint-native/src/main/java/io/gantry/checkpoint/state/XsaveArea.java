package io.gantry.checkpoint.state;

import io.gantry.checkpoint.image.user_x86_fpregs_entry;
import io.gantry.checkpoint.image.user_x86_xsave_entry;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * Between the XSAVE area as ptrace gives it and the schema's fields. The standard format has two layouts as far as CRIU's fields go,
 * that of Intel and that of AMD (Intel SDM, volume 1, chapter 13; AMD64 APM, volume 2, chapter 11): 512 bytes FXSAVE, a 64-byte header
 * whose first word says which components are not in their initial state, then each component at an offset that is fixed for the make
 * of the processor.
 */
public final class XsaveArea {
  private static final int ST_AT = 32;
  private static final int ST_WORDS = 32;
  private static final int XMM_AT = 160;
  private static final int XMM_WORDS = 64;
  private static final int HEADER_AT = 512;
  private static final int YMM_AT = 576;
  private static final int YMM_WORDS = 64;
  /** Intel's place of the opmask registers, behind those of MPX. */
  private static final int OPMASK_AT = 1088;
  private static final int OPMASK_LONGS = 8;
  private static final int ZMM_UPPER_AT = 1152;
  private static final int ZMM_UPPER_LONGS = 64;
  private static final int HI16_ZMM_AT = 1664;
  private static final int HI16_ZMM_LONGS = 128;
  private static final int PKRU_AT = 2688;
  /** AMD's processors have no MPX and leave no room for it: what follows lies this much lower (CPUID function 0Dh). */
  private static final int WITHOUT_MPX = 256;

  private XsaveArea() {}

  /** The fields that the schema requires, and the area itself. */
  static user_x86_fpregs_entry.Builder toEntry(byte[] area) {
    var in = ByteBuffer.wrap(area).order(ByteOrder.LITTLE_ENDIAN);
    return user_x86_fpregs_entry.newBuilder()
        .setCwd(in.getShort(0) & 0xffff)
        .setSwd(in.getShort(2) & 0xffff)
        .setTwd(in.getShort(4) & 0xffff)
        .setFop(in.getShort(6) & 0xffff)
        .setRip(in.getLong(8))
        .setRdp(in.getLong(16))
        .setMxcsr(in.getInt(24))
        .setMxcsrMask(in.getInt(28))
        .setXsaveArea(com.google.protobuf.ByteString.copyFrom(area));
  }

  /** Adds every field that CRIU knows, for an image directory. */
  public static user_x86_fpregs_entry expanded(user_x86_fpregs_entry entry) {
    var in = ByteBuffer.wrap(entry.getXsaveArea().toByteArray()).order(ByteOrder.LITTLE_ENDIAN);
    var full = entry.toBuilder().clearStSpace().clearXmmSpace().clearXsave();
    ints(in, ST_AT, ST_WORDS, full::addStSpace);
    ints(in, XMM_AT, XMM_WORDS, full::addXmmSpace);
    if (in.capacity() >= YMM_AT + YMM_WORDS * 4) {
      var xsave = user_x86_xsave_entry.newBuilder().setXstateBv(in.getLong(HEADER_AT));
      ints(in, YMM_AT, YMM_WORDS, xsave::addYmmhSpace);
      int lower = lower(in.capacity());
      if (in.capacity() >= HI16_ZMM_AT - lower + HI16_ZMM_LONGS * 8) {
        longs(in, OPMASK_AT - lower, OPMASK_LONGS, xsave::addOpmaskReg);
        longs(in, ZMM_UPPER_AT - lower, ZMM_UPPER_LONGS, xsave::addZmmUpper);
        longs(in, HI16_ZMM_AT - lower, HI16_ZMM_LONGS, xsave::addHi16Zmm);
      }
      if (in.capacity() >= PKRU_AT - lower + 8) {
        ints(in, PKRU_AT - lower, 2, xsave::addPkru);
      }
      full.setXsave(xsave);
    }
    return full.build();
  }

  /**
   * The area as ptrace takes it. An entry by CRIU has none; it is put together from the fields then.
   *
   * @param bytes size of the area on this host, for an entry without one
   */
  static byte[] fromEntry(user_x86_fpregs_entry entry, int bytes) {
    if (entry.hasXsaveArea()) {
      return entry.getXsaveArea().toByteArray();
    }
    var out = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    out.putShort(0, (short) entry.getCwd())
        .putShort(2, (short) entry.getSwd())
        .putShort(4, (short) entry.getTwd())
        .putShort(6, (short) entry.getFop())
        .putLong(8, entry.getRip())
        .putLong(16, entry.getRdp())
        .putInt(24, entry.getMxcsr())
        .putInt(28, entry.getMxcsrMask());
    putInts(out, ST_AT, entry.getStSpaceList());
    putInts(out, XMM_AT, entry.getXmmSpaceList());
    var xsave = entry.getXsave();
    // Without the extension only x87 and SSE (bits 0 and 1) are there.
    out.putLong(HEADER_AT, entry.hasXsave() ? xsave.getXstateBv() : 3);
    putInts(out, YMM_AT, xsave.getYmmhSpaceList());
    int lower = lower(bytes);
    putLongs(out, OPMASK_AT - lower, xsave.getOpmaskRegList());
    putLongs(out, ZMM_UPPER_AT - lower, xsave.getZmmUpperList());
    putLongs(out, HI16_ZMM_AT - lower, xsave.getHi16ZmmList());
    putInts(out, PKRU_AT - lower, xsave.getPkruList());
    return out.array();
  }

  /** How much lower the components behind AVX lie than with Intel, which the size of the area tells: Intel's reaches farther. */
  private static int lower(int bytes) {
    return bytes < PKRU_AT ? WITHOUT_MPX : 0;
  }

  private interface IntSink {
    void add(int value);
  }

  private interface LongSink {
    void add(long value);
  }

  private static void ints(ByteBuffer in, int at, int count, IntSink sink) {
    for (int i = 0; i < count; i++) {
      sink.add(in.getInt(at + 4 * i));
    }
  }

  private static void longs(ByteBuffer in, int at, int count, LongSink sink) {
    for (int i = 0; i < count; i++) {
      sink.add(in.getLong(at + 8 * i));
    }
  }

  private static void putInts(ByteBuffer out, int at, List<Integer> values) {
    for (int i = 0; i < values.size() && at + 4 * i + 4 <= out.capacity(); i++) {
      out.putInt(at + 4 * i, values.get(i));
    }
  }

  private static void putLongs(ByteBuffer out, int at, List<Long> values) {
    for (int i = 0; i < values.size() && at + 8 * i + 8 <= out.capacity(); i++) {
      out.putLong(at + 8 * i, values.get(i));
    }
  }
}
