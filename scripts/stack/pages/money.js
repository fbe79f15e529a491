/** An amount in the smallest unit of its currency, as people write it. */
export function formatMoney(minor, currency, locales = []) {
  const format = new Intl.NumberFormat(locales, {
    style: "currency",
    currency,
  });
  const { maximumFractionDigits } = format.resolvedOptions();
  return format.format(minor / 10 ** maximumFractionDigits);
}
